"""A small vision-language-action model, made from nothing: recorded, trained, evaluated (``python -m experiments.vla``)."""
