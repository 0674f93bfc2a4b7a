(cat head.tmp; sed 's/^\(.\)/    \1/' nat.click) > nat.yaml
