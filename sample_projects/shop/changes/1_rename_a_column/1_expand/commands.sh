evolve plan rename-column users.name full_name --write
evolve upgrade
evolve registry install
