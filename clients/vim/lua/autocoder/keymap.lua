-- Gives a map of Insert mode another name. In Lua because the map may be a Lua function.
local M = {}

local function find(maps, lhs)
  for _, map in ipairs(maps) do
    if map.lhs == lhs then
      return map
    end
  end
end

-- `name` does what `lhs` does now; `rhs` is its right side with <SID> resolved.
function M.keep(is_local, lhs, name, rhs)
  local locally = is_local == 1
  local map = find(locally and vim.api.nvim_buf_get_keymap(0, "i") or vim.api.nvim_get_keymap("i"), lhs)
  local options = { callback = map.callback }
  for _, flag in ipairs({ "expr", "noremap", "silent", "script", "replace_keycodes" }) do
    options[flag] = map[flag] == 1 or nil
  end
  if rhs:sub(1, #lhs) == lhs then
    options.noremap = true
  end
  if locally then
    vim.api.nvim_buf_set_keymap(0, "i", name, rhs, options)
  else
    vim.api.nvim_set_keymap("i", name, rhs, options)
  end
end

return M
