evolve advance split_users_name --purge-approved
evolve upgrade
