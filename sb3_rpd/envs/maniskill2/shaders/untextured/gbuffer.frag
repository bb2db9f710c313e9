// The color of a surface that has no texture, without light.
#version 450
#extension GL_GOOGLE_include_directive : enable
#include "../common/surface.glsl"

layout(location = 0) out vec4 outColor;

void main() {
  outColor = material.baseColor;
}
