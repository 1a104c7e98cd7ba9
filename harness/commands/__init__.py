"""The commands, one file for each or for a small family. ``add`` puts a command into the grammar; ``run`` runs it."""
