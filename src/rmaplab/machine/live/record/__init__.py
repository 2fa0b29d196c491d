"""What operations did, read off snapshots of page tables: events, COW answers, observations."""
