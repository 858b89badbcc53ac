"""OKX driver for ctcore: public market data of spot, perpetual swaps and dated futures."""
