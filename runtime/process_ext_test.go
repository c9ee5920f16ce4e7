package aegis_test

func runHelper(string) int { return 2 }
