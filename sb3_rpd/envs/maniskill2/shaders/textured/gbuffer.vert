#version 450
#extension GL_GOOGLE_include_directive : enable
#include "../common/vertex.glsl"

layout(location = 0) out vec2 textureAt;

void main() {
  textureAt = uv;
  gl_Position = onScreen();
}
