evolve plan split-column users.name --into given_name="split_part(name, ' ', 1)" --into family_name="substr(name, length(split_part(name, ' ', 1)) + 2)" --down "given_name || ' ' || family_name" --write
evolve upgrade
