module kafiber/bench/produce

go 1.25

require github.com/twmb/franz-go v1.22.2
