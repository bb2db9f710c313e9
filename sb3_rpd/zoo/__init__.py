"""RPD in RL Baselines3 Zoo: ``python -m sb3_rpd.zoo train | enjoy``, with the zoo's own options."""
