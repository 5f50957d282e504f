-- Sets a map from the dictionary of maparg(), for Neovim before 0.8, which lacks mapset().
local M = {}

function M.set(map)
  local options = {}
  for _, flag in ipairs({ "expr", "noremap", "nowait", "silent", "script" }) do
    options[flag] = map[flag] == 1 or map[flag] == true
  end
  options.callback = map.callback
  local rhs = (map.rhs or ""):gsub("<SID>", "<SNR>" .. (map.sid or 0) .. "_")
  if map.buffer == 1 then
    vim.api.nvim_buf_set_keymap(0, "i", map.lhs, rhs, options)
  else
    vim.api.nvim_set_keymap("i", map.lhs, rhs, options)
  end
end

return M
