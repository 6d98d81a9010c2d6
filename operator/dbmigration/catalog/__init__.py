"""What a database's schema is, as data: taken, compared, kept. Its SQL goes through `postgres.session.Session`."""
