"""Git LFS: pointers, the objects that they name, and the forge that keeps those."""
