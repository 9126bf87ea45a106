"""Workers on rented machines: a guard keeps the wanted number of them at work within a budget."""
