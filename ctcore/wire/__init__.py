"""Transport that knows no venue: HTTP, WebSocket, codecs, rate budgets, recordings."""
