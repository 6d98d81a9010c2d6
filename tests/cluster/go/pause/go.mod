module dbmigration.dev/tests/cluster/pause

go 1.25
