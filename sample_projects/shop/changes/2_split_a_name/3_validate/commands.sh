evolve advance split_users_name
evolve upgrade
