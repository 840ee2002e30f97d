"""The `dovetail` command line: parses, wires the other packages together, and prints. Holds no logic of its own."""
