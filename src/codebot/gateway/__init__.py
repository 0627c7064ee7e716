"""What a box may reach: the model, through a proxy that holds the real credential."""
