"""`kubectl dbmigration`: a resource in a cluster, for the person who watches over it."""
