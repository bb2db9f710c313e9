// The color of a surface, with or without a texture, without light.
#version 450
#extension GL_GOOGLE_include_directive : enable
#include "../common/surface.glsl"

layout(location = 0) in vec2 textureAt;

layout(location = 0) out vec4 outColor;

void main() {
  outColor = (material.textureMask & 1) != 0 ? texture(colorTexture, textureAt) : material.baseColor;
}
