"""The experiment of the article this project comes from, asked as printed and asked honestly."""
