"""HTTP routers and nothing but HTTP."""
