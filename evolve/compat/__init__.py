"""What SQL the application's mapped classes emit, and whether it runs on a schema. Pure, and nothing is imported."""
