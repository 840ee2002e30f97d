"""Published figures beside what this simulator and its closed form say. An experiment: it may import everything."""
