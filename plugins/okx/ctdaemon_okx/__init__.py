"""OKX driver for ctcore."""
