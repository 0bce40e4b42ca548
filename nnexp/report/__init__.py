"""What a person reads: the terminal, tables, and reports in Markdown and HTML."""
