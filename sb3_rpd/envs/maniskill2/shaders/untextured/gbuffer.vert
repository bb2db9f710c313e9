#version 450
#extension GL_GOOGLE_include_directive : enable
#include "../common/vertex.glsl"

void main() {
  gl_Position = onScreen();
}
