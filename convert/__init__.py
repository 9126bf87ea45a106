"""The old name of `zebjax convert`, for a checkout."""
