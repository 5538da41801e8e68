evolve advance rename_users_name_to_full_name --purge-approved
evolve upgrade
