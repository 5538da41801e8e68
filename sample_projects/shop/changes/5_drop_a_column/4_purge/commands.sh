evolve advance drop_products_legacy_code --purge-approved
evolve upgrade
