"""The way out of a box: the model, the registries for reading, and the hosts that were named."""
