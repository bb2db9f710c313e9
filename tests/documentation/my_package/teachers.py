"""The teachers in it."""

from stand_ins import make_teacher

make_vla = make_teacher
