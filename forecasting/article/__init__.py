"""The experiment of the article this project comes from, as printed and without its leaks."""
