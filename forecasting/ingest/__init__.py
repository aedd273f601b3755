"""From a source to bars that can be trusted: fetch, check, and say what changed."""
