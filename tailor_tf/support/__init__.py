"""What knows nothing of networks: errors, files, locks, versions, drawing."""
