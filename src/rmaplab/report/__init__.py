"""What a user sees: tables, plots and JSON, from the judge's and the inspector's results."""
