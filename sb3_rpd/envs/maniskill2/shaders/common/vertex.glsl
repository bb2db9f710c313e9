// What sapien gives a vertex. It finds blocks and attributes by these names, and wants the same attributes of all shaders.
layout(set = 0, binding = 0) uniform CameraBuffer {
  mat4 viewMatrix;
  mat4 projectionMatrix;
  mat4 viewMatrixInverse;
  mat4 projectionMatrixInverse;
  float width;
  float height;
} camera;

layout(set = 1, binding = 0) uniform ObjectBuffer {
  mat4 modelMatrix;
  uvec4 segmentation;
  float transparency;
  int shadeFlat;
} object;

layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec2 uv;
layout(location = 3) in vec3 tangent;
layout(location = 4) in vec3 bitangent;

// In the order in which sapien's "trivial" shaders multiply: the last bits decide at the edges of a picture
vec4 onScreen() {
  return camera.projectionMatrix * (camera.viewMatrix * (object.modelMatrix * vec4(position, 1)));
}
