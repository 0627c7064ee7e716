"""Pure values and rules of the product; nothing here does input or output."""
