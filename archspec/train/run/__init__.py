"""Run directories: what lies in one, who trains in it, where it goes on."""
