"""What becomes of NodePoolClaims: pure policies, and what each of them looks at."""
