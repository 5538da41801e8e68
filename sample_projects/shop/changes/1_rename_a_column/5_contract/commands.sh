evolve registry list --column users.name
evolve advance rename_users_name_to_full_name --old-code-gone
evolve upgrade
