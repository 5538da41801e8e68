evolve plan drop-column products.legacy_code --down "'P-' || id" --write
evolve upgrade
