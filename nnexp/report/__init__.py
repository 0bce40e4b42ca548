"""Output for people: the terminal, tables, and reports in Markdown and HTML."""
