"""From configs to checked components: where configs are found, how they are built, and what identifies a run."""
