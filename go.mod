module headworks

go 1.26.0
