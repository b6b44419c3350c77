"""One public coroutine per operation of the contract, in a module named after its noun."""
