package app

import "encoding/json"

// keep writes a small state down in the data folder, for the process after this one.
func (a *App) keep(file string, state any) error {
	b, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return a.data.WriteFile(file, append(b, '\n'), 0o600)
}

// recall reads what keep wrote; fs.ErrNotExist where nothing was.
func (a *App) recall(file string, state any) error {
	b, err := a.data.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, state)
}
