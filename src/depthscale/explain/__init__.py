"""Why: arguments as rows, each computed: statement, formula, predicted, measured, verdict."""
