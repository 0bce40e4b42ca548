"""The results of a sweep, and the findings, figures and reports that are made of them."""
