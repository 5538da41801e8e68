evolve advance split_users_name --old-code-gone
evolve upgrade
